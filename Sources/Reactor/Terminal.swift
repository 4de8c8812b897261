import CSystem
import Glibc

/// What standard error and output write to, as far as people look at it.
package enum Terminal {
    /// Whether standard error is a terminal.
    package static var isThere: Bool { isatty(STDERR_FILENO) == 1 }

    /// Whether standard output is one.
    package static var isOutput: Bool { isatty(STDOUT_FILENO) == 1 }

    /// The characters of a line, at this moment; `nil` when nobody knows.
    package static var columns: Int? {
        let columns = Int(csystem_terminal_columns(STDERR_FILENO))
        return columns > 0 ? columns : nil
    }
}
