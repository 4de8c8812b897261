import Glibc
import Reactor

/// What this process weighs.
enum ProcessMemory {
    /// Resident bytes; `nil` where /proc is not to be read.
    ///
    /// Not getrusage's maximum: an exec inherits that from the program before, here from the service.
    static func residentBytes() -> Int64? {
        let statistics = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        if statistics < 0 { return nil }
        let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
        if null < 0 {
            close(statistics)
            return nil
        }
        let channel = BlockingChannel(adoptingInput: statistics, output: null)
        var buffer = ReadBuffer(capacity: 256)
        guard channel.read(into: &buffer, atMost: 256) else { return nil }
        // proc(5): size, resident, … in pages.
        let fields = String(decoding: buffer.bytes[buffer.readable], as: UTF8.self).split(separator: " ")
        guard fields.count > 1, let pages = Int64(fields[1]) else { return nil }
        return pages * Int64(sysconf(CInt(_SC_PAGESIZE)))
    }
}
