import Glibc

/// Whether a sanitizer watches this process and the programs that it starts, as `scripts/test` says: everything takes
/// several times as long, and more memory.
package let isSanitized = getenv("SANITIZER") != nil
