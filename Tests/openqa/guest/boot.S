# The guest of the end-to-end tests, a 512 byte "operating system": prints a banner on VGA text mode and COM1, echoes the keyboard to both.
#   Enter = new line + numbered prompt, F3 = fill the screen with pseudo random coloured characters (poorly compressible
#   screenshots), F4 = clear + banner, F10 = ACPI power off (PIIX4/ICH9 PM1a at 0x604).
.code16
.globl _start
_start:
  ljmp $0x7c0, $go - _start
go:
  mov %cs, %ax; mov %ax, %ds; xor %ax, %ax; mov %ax, %ss; mov $0x7000, %sp; sti; cld
  xor %ah, %ah; mov $0xe3, %al; xor %dx, %dx; int $0x14     # COM1 9600 8n1
  xor %ah, %ah; int $0x1a; add %dx, seed - _start          # timer tick: other noise in every run
banner:
  mov $0x0003, %ax; int $0x10
  mov $0x01, %ah; mov $0x2607, %cx; int $0x10               # hide cursor
  mov $msg - _start, %si; call puts
prompt:
  mov $pr - _start, %si; call puts
  mov count - _start, %ax; inc %ax; mov %ax, count - _start
  mov $10, %bx; xor %cx, %cx
1: xor %dx, %dx; div %bx; push %dx; inc %cx; test %ax, %ax; jnz 1b
2: pop %ax; add $'0', %al; call putc; loop 2b
  mov $'>', %al; call putc; mov $' ', %al; call putc
key:
  xor %ah, %ah; int $0x16
  cmp $0x44, %ah; je off
  cmp $0x3d, %ah; je noise
  cmp $0x3e, %ah; je banner
  cmp $13, %al; je prompt
  test %al, %al; jz key
  call putc; jmp key
noise:
  mov $0xb800, %ax; mov %ax, %es; xor %di, %di; mov $1760, %cx   # 22 of 25 rows
3: mov seed - _start, %ax; mov $25173, %bx; mul %bx; add $13849, %ax; mov %ax, seed - _start
  mov %ah, %al; and $0x0f, %ah; or $0x21, %al; stosw; loop 3b
  mov $0x02, %ah; xor %bh, %bh; mov $0x1700, %dx; int $0x10
  jmp prompt
off:
  mov $offmsg - _start, %si; call puts
  mov $0x604, %dx; mov $0x2000, %ax; outw %ax, %dx
4: hlt; jmp 4b
puts: lodsb; test %al, %al; jz 5f; call putc; jmp puts
5: ret
putc:                                                       # al -> screen and serial
  push %ax; push %bx; push %dx
  mov %al, %bl; mov $0x3fd, %dx
6: inb %dx, %al; test $0x20, %al; jz 6b
  mov %bl, %al; mov $0x3f8, %dx; outb %al, %dx
  mov $0x0e, %ah; mov $0x0007, %bx; int $0x10
  pop %dx; pop %bx; pop %ax; ret
count: .word 0
seed: .word 4711
msg: .asciz "OPENQA LAB READY\r\n================\r\nkeys: F3 noise, F4 clear, F10 power off\r\n"
pr: .asciz "\r\nlab-"
offmsg: .asciz "\r\nPOWERING OFF\r\n"
.org 510
.word 0xaa55
