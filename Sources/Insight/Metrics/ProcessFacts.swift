/// What the operating system says about this process.
package struct ProcessFacts: Equatable, Sendable {
    package var residentBytes: Int64?
    package var cpuSeconds: Double?
    package var openDescriptors: Int?

    /// Facts that somebody else has found out.
    package init(residentBytes: Int64? = nil, cpuSeconds: Double? = nil, openDescriptors: Int? = nil) {
        self.residentBytes = residentBytes
        self.cpuSeconds = cpuSeconds
        self.openDescriptors = openDescriptors
    }

    /// Reads the text of `/proc/self/stat` (proc(5)); `nil` when it is none.
    ///
    /// The program's name stands in parentheses and may hold spaces and parentheses: fields are counted
    /// from the last one.
    package init?(stat: String, ticksPerSecond: Int = 100, pageBytes: Int = 4_096) {
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        // Fields 14, 15 (utime, stime) and 24 (rss in pages); the first one here is field 3.
        guard fields.count > 21, let user = Int64(fields[11]), let system = Int64(fields[12]),
            let pages = Int64(fields[21]), ticksPerSecond > 0
        else { return nil }
        cpuSeconds = Double(user + system) / Double(ticksPerSecond)
        residentBytes = pages * Int64(pageBytes)
    }
}
