import Support
package import SystemPackage

/// A program that behaves as a job-supervisor of a protocol which does not exist yet: with a tree of one process, and what
/// stays as it is in all versions.
package enum NewerSupervisor {
  /// Makes the program in a folder.
  /// - Returns: the program, whose arguments are a path for its socket and whether it obeys SIGTERM (1 or 0). It returns when
  ///   the supervisor listens, which prints "asked to end" when it gets SIGTERM.
  package static func make(in folder: FilePath) throws -> FilePath {
    // The name that a supervisor has to have.
    let program = folder.appending("job-supervisor")
    try Files.replace(program, with: script.utf8, permissions: [.ownerReadWriteExecute])
    return program
  }

  private static let script = #"""
    #!/usr/bin/perl
    use IO::Socket::UNIX;
    my ($path, $obeys) = @ARGV;
    $| = 1;
    pipe my $ready, my $listens;
    if (fork) { close $listens; <$ready>; exit }
    my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 9) or die "$path: $!";
    my $child = fork // die;
    exec 'sleep', 1000 unless $child;
    close $listens;
    $SIG{TERM} = sub { print "asked to end\n"; if ($obeys) { kill 9, $child; exit } };
    open my $stat, '<', '/proc/self/stat';
    my @fields = split ' ', <$stat> =~ s/.*\) //r;
    my @clients;
    while (1) {
      my $client = $listener->accept or next;
      print $client "job-supervisor 2 $$ $fields[19]\n";
      $client->flush;
      push @clients, $client;
    }
    """#
}
