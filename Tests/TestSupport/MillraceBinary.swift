import Glibc

/// The `millrace` program that was built with the tests.
package enum MillraceBinary {
    /// Its path: `MILLRACE_BINARY` where that is set, else beside the test runner's bundle.
    package static var path: String {
        if let set = getenv("MILLRACE_BINARY") { return String(cString: set) }
        var name = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &name, name.count - 1)
        let executable = String(
            decoding: name.prefix(max(count, 0)).map { UInt8(bitPattern: $0) },
            as: UTF8.self
        )
        let directory = executable.split(separator: "/").dropLast().joined(separator: "/")
        return "/\(directory)/millrace"
    }
}
