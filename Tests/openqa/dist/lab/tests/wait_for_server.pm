use Mojo::Base 'basetest', -signatures;
use testapi;
use lockapi;
# for the mutex of the job beside this one
sub run ($self) {
    mutex_lock 'served';
    mutex_unlock 'served';
    record_info 'served', 'by ' . scalar(@{mmapi::get_parents()}) . ' parent';
}
1;
