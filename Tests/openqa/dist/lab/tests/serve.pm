use Mojo::Base 'basetest', -signatures;
use testapi;
use lockapi;
use mmapi;
# what the job that runs beside this one waits for; this one waits for its end
sub run ($self) {
    sleep get_var('LAB_HOLD', 5);
    mutex_create 'served';
    wait_for_children;
    send_key 'f4';
    assert_screen 'lab-ready', 30;
}
1;
