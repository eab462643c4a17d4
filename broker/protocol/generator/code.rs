//! A text buffer that knows about indentation, so that generated source can be read.

#[derive(Default)]
pub(super) struct Code {
    text: String,
    depth: usize,
}

impl Code {
    /// Appends lines at the present depth.
    pub(super) fn line(&mut self, lines: &str) {
        for line in lines.lines() {
            for _ in 0..self.depth {
                self.text.push_str("    ");
            }
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    /// Opens a block: `head {`.
    pub(super) fn open(&mut self, head: &str) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
    }

    /// Closes the last block.
    pub(super) fn close(&mut self) {
        self.close_with("}");
    }

    /// Closes the last block with text of its own, such as `} else {` or `});`.
    pub(super) fn close_with(&mut self, tail: &str) {
        self.depth -= 1;
        self.line(tail);
    }

    /// Opens a block after a closed one: `} else {`.
    pub(super) fn reopen(&mut self, middle: &str) {
        self.close_with(middle);
        self.depth += 1;
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}
