import Glibc

/// A system call that failed, and why.
package struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The name of the call, as its manual page spells it.
    package let call: String
    /// The `errno` that it left.
    package let code: CInt

    package init(call: String, code: CInt) {
        self.call = call
        self.code = code
    }

    package var description: String { "\(call): \(String(cString: strerror(code)))" }

    /// Whether the process or the system has no descriptor left.
    package var isOutOfDescriptors: Bool { code == EMFILE || code == ENFILE }
}

/// Runs one system call, turning -1 into a ``SystemError`` and trying again when a signal interrupted it.
///
/// Not for close(2), which Linux completes even when it reports EINTR.
@discardableResult
func systemCall(_ name: StaticString, _ body: () -> CInt) throws(SystemError) -> CInt {
    while true {
        let result = body()
        if result != -1 { return result }
        let code = errno
        if code != EINTR { throw SystemError(call: "\(name)", code: code) }
    }
}
