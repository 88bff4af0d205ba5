#!/usr/bin/perl
# upload-reference.pl files|asset|results URL PATH...: what scripts/benchmark-uploads lets openQA's own worker do, with the
# client and the calls of that worker. Prints seconds, CPU seconds and the largest resident size in KiB.
#   files    uploads PATH... as logs, one after the other
#   asset    uploads PATH in chunks
#   results  posts the results of the modules in the folder PATH
use strict;
use warnings;
use lib '/usr/share/openqa/lib';
use Mojo::File 'path';
use Mojo::JSON 'decode_json';
use Time::HiRes 'time';
use OpenQA::Client;

my ($what, $url, @paths) = @ARGV;
my $ua = OpenQA::Client->new(api => $url, apikey => 'KEY', apisecret => 'SECRET');
$ua->base_url(Mojo::URL->new("$url/api/v1/")) if $ua->can('base_url');

sub post {
    my ($path, @content) = @_;
    my $tx = $ua->start($ua->build_tx(POST => "$url/api/v1/jobs/1/$path", @content));
    die $tx->error->{message} if $tx->error;
}

# As in a worker that runs.
post(artefact => form => {file => {filename => 'first', file => '/etc/hostname'}});
my ($start, @cpu) = (time, times);
if ($what eq 'files') {
    post(artefact => form => {file => {filename => path($_)->basename, file => $_}}) for @paths;
}
elsif ($what eq 'asset') {
    my $failed;
    $ua->upload->on('upload_chunk.error' => sub { $failed = 1 });
    $ua->upload->asset(1, {file => $paths[0], chunk_size => 10_000_000, asset => 'public'});
    die "the asset did not arrive\n" if $failed;
}
elsif ($what eq 'results') {
    my %results;
    for my $file (path($paths[0])->list->grep(qr/result-/)->each) {
        my $result = decode_json($file->slurp);
        for my $detail (@{$result->{details}}) {
            next unless my $image = $detail->{screenshot};
            $detail->{screenshot} = {name => $image, md5 => 'd41d8cd98f00b204e9800998ecf8427e'};
        }
        $results{$file->basename('.json') =~ s/^result-//r} = $result;
    }
    post(status => json => {status => {worker_id => 1, result => \%results}});
}
my @after = times;
my ($size) = path('/proc/self/status')->slurp =~ /VmHWM:\s+(\d+)/;
printf "%.4f %.4f %d\n", time - $start, $after[0] + $after[1] - $cpu[0] - $cpu[1], $size;
