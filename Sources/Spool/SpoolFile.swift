package import Reactor

/// A file of a ``SpoolDisk``; with the semantics of ``DiskFile``.
package protocol SpoolFile: Sendable {
    func size() throws(SystemError) -> Int
    func read(at offset: Int, count: Int) throws(SystemError) -> [UInt8]
    func write(_ bytes: [UInt8], at offset: Int) throws(SystemError)
    func synchronize() throws(SystemError)
    func truncate(to size: Int) throws(SystemError)
    func reserve(bytes: Int) throws(SystemError)
}
