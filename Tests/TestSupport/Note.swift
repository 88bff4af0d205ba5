import Foundation

/// Shows what a test has measured, beside its result.
package func note(_ line: String) { FileHandle.standardError.write(Data("\(line)\n".utf8)) }
