import Glibc
import Reactor

/// Where events to send come from.
enum SendInput: Equatable, Sendable {
    case standardInput
    case file(String)

    /// As the command line names it.
    init(_ argument: String) {
        self = argument == "-" ? .standardInput : .file(argument)
    }

    var name: String {
        switch self {
        case .standardInput: "standard input"
        case .file(let path): path
        }
    }

    /// Why it cannot be read, as far as can be known without opening it: a pipe would notice.
    var obstacle: SendInputError? {
        guard case .file(let path) = self, access(path, R_OK) != 0 else { return nil }
        return .unreadable(name, SystemError(call: "open", code: errno))
    }

    /// The bytes on the disk; `nil` for what is no regular file: that can be read once only.
    var size: Int? {
        guard case .file(let path) = self else { return nil }
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int(status.st_size)
    }

    func open() throws(SendInputError) -> FileReader {
        do throws(SystemError) {
            return switch self {
            case .standardInput: try FileReader.standardInput()
            case .file(let path): try FileReader(path: path)
            }
        } catch {
            throw .unreadable(name, error)
        }
    }
}

/// Why an input's events cannot be sent.
enum SendInputError: Error, Equatable, Sendable, CustomStringConvertible {
    case unreadable(String, SystemError)
    /// A gzip file that is cut short or wrong inside.
    case damaged(String)

    var description: String {
        switch self {
        case .unreadable(let name, let error): "\(name): \(error)"
        case .damaged(let name): "\(name): the gzip file is damaged"
        }
    }
}
