/// What came over the wire is not what the protocol says.
package struct ProtocolError: Error, Hashable, CustomStringConvertible {
  /// What is wrong, naming the field: `grab_job: the job has no id`.
  package var description: String

  package init(_ description: String) { self.description = description }
}
