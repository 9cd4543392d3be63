//! Voice quality reports: taken from PUBLISH and NOTIFY, once each, and without the parties.

use super::script::check;

#[test]
fn reports_are_stated_once_and_name_nobody() {
    check(
        "
        0 a>b PUBLISH id=r1 vq=c1@h/1.5/4.1
        0.001 a>b PUBLISH id=r1 vq=c1@h/1.5/4.1
        0.5 a>b PUBLISH id=r1 vq=c1@h/1.5/4.1
        1 a>b PUBLISH id=r1 cseq=2 vq=c1@h/2/3.9
        2 b>c NOTIFY id=r2 vq=parts/c2@h/0/4.4
        3 a>b PUBLISH id=r3 vq=nonsense
        4 a>b MESSAGE id=r4 vq=c1@h/1.5/4.1
        ",
        "
        vq 0 c1@h loss 1.5 mos 4.1 parties [0, 0, 0]
        vq 1 c1@h loss 2 mos 3.9 parties [0, 0, 0]
        vq 2 c2@h loss 0 mos 4.4 parties [0, 0, 0]
        ",
    );
}
