"""websocket_tap.py PORT TARGET LOG: stands between nginx and openQA's WebSocket service at the port TARGET, passes on what
either says, and then notes in LOG when each message came, one a line: "TIME TYPE JOB...". A message that a web UI sends
for a job has come when the service has written it, one of a worker when it is about to reach the service."""
import asyncio
import json
import sys
import time
import zlib

PORT, TARGET, LOG = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


class Messages:
    """The text messages in one direction of a connection, which begins with the head of the upgrade."""

    def __init__(self):
        self.buffer, self.is_upgraded = b"", False
        self.message, self.is_compressed = b"", False
        self.inflater = zlib.decompressobj(-15)

    def take(self, data):
        """What has become whole with these bytes."""
        self.buffer += data
        if not self.is_upgraded:
            _, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self.buffer, self.is_upgraded = rest, True
        while frame := self.frame():
            first, payload = frame
            opcode = first & 0x0F
            if opcode > 2:
                continue  # of the connection, perhaps in the middle of a message
            if opcode:
                self.message, self.is_compressed = b"", bool(first & 0x40)
            self.message += payload
            if first & 0x80:
                if self.is_compressed:
                    self.message = self.inflater.decompress(self.message + b"\0\0\xff\xff")
                yield self.message

    def frame(self):
        """Takes a frame from the buffer: its first byte and its payload; None if it is not whole."""
        if len(self.buffer) < 2:
            return None
        first, length, at = self.buffer[0], self.buffer[1] & 0x7F, 2
        if length > 125:
            at += 2 if length == 126 else 8
            length = int.from_bytes(self.buffer[2:at], "big")
        mask_at = at
        if self.buffer[1] & 0x80:
            at += 4
        if len(self.buffer) < at + length:
            return None
        payload = self.buffer[at:at + length]
        if at > mask_at:
            mask = (self.buffer[mask_at:at] * (length // 4 + 1))[:length]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")
        self.buffer = self.buffer[at + length:]
        return first, payload


def jobs(message):
    """The numbers of the jobs that a message is about."""
    if message["type"] == "grab_job":
        return [message["job"]["id"]]
    if message["type"] == "grab_jobs":
        return message["job_info"]["ids"]
    return [message["jobid"]] if "jobid" in message else []


async def pass_on(reader, writer, log):
    messages = Messages()
    try:
        while data := await reader.read(1 << 16):
            at = time.time()
            writer.write(data)
            await writer.drain()
            for message in map(json.loads, messages.take(data)):
                log.write(" ".join(map(str, [f"{at:.6f}", message.get("type"), *jobs(message)])) + "\n")
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main():
    log = open(LOG, "a", buffering=1)

    async def connected(reader, writer):
        service_reader, service_writer = await asyncio.open_connection("127.0.0.1", TARGET)
        await asyncio.gather(pass_on(reader, service_writer, log), pass_on(service_reader, writer, log))

    async with await asyncio.start_server(connected, "127.0.0.1", PORT) as server:
        await server.serve_forever()


asyncio.run(main())
