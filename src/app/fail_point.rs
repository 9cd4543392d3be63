//! A place at which tests make the measuring thread fail. Only builds with debug assertions have it; a release reads no
//! such variable.

/// What is to happen at which frame, from `AUSCULT_TEST_FAIL`: `panic@N` or `stall@N`, counted from 1.
#[cfg(debug_assertions)]
pub struct FailPoint {
    frames: u64,
    at: Option<(bool, u64)>,
}

#[cfg(debug_assertions)]
impl FailPoint {
    pub fn new() -> FailPoint {
        let set = std::env::var("AUSCULT_TEST_FAIL").ok();
        let at = set.as_deref().and_then(|set| set.split_once('@'));
        let at = at.and_then(|(what, frame)| Some((what == "panic", frame.parse().ok()?)));
        FailPoint { frames: 0, at }
    }

    /// Another frame is about to be measured.
    pub fn pass(&mut self) {
        self.frames += 1;
        match self.at {
            Some((true, frame)) if frame == self.frames => panic!("asked for by AUSCULT_TEST_FAIL"),
            Some((false, frame)) if frame == self.frames => loop {
                std::thread::sleep(std::time::Duration::from_secs(3600));
            },
            _ => {}
        }
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub struct FailPoint;

#[cfg(not(debug_assertions))]
impl FailPoint {
    pub fn new() -> FailPoint {
        FailPoint
    }

    #[inline(always)]
    pub fn pass(&mut self) {}
}
