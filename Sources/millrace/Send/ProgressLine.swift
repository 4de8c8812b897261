import Reactor
import Synchronization

/// The last line of a terminal, overwritten again and again; without colours and escapes, so NO_COLOR has its
/// way.
final class ProgressLine: Sendable {
    static let interval = Duration.milliseconds(200)
    /// How often a log gets a line instead: short runs say nothing there.
    static let logInterval = Duration.seconds(60)
    /// Of a terminal that does not say how wide it is.
    static let columnsStandard = 80

    /// Whether there is a terminal to show it on.
    let isShown: Bool
    private let width = Mutex(0)

    init(isShown: Bool) {
        self.isShown = isShown
    }

    /// Shows what fits.
    func show(_ progress: SendProgress) {
        let columns = Terminal.columns ?? Self.columnsStandard
        let text = progress.line(columns: columns)
        width.withLock { width in
            // In a window that has become narrower the rest has moved to another line already.
            let rest = max(0, min(width, columns - 1) - text.count)
            Output.write("\r" + text + String(repeating: " ", count: rest))
            width = text.count
        }
    }

    /// Writes a line of its own above.
    func interrupt(with line: String) {
        clear()
        Output.complain(line)
    }

    func clear() {
        width.withLock { width in
            if width > 0 { Output.write("\r" + String(repeating: " ", count: width) + "\r") }
            width = 0
        }
    }
}
