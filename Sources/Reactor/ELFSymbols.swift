import CSystem
import Glibc

/// The functions that a program or library file names (elf(5), 64 bits, little-endian).
struct ELFSymbols: Sendable {
    struct Symbol: Equatable, Sendable {
        let name: String
        /// Relative to where the file is loaded.
        let value: UInt
    }

    private let symbols: [UInt8]
    private let names: [UInt8]

    private static let symbolBytes = 24
    private static let sectionBytes = 64
    private static let typeSymbols: UInt32 = 2
    private static let typeDynamicSymbols: UInt32 = 11
    private static let sectionsMax = 4_096
    private static let tableBytesMax = 64 << 20

    /// Reads the table of all symbols, or of those for the dynamic linker where the file is stripped; `nil`
    /// when it has neither.
    init?(path: String) {
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { return nil }
        let file = Descriptor(adopting: raw)
        let header = Self.bytes(of: file, at: 0, count: 64)
        guard header.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2, 1]), header.count == 64 else { return nil }
        let sectionCount = Int(Self.number(header, at: 60, bytes: 2))
        guard sectionCount <= Self.sectionsMax,
            let table = Int(exactly: Self.number(header, at: 40, bytes: 8))
        else { return nil }
        let sections = Self.bytes(of: file, at: table, count: sectionCount * Self.sectionBytes)
        func section(_ type: UInt32) -> Int? {
            (0..<sections.count / Self.sectionBytes).first { index in
                Self.number(sections, at: index * Self.sectionBytes + 4, bytes: 4) == UInt64(type)
            }
        }
        func content(_ index: Int) -> [UInt8] {
            let start = index * Self.sectionBytes
            guard start + Self.sectionBytes <= sections.count,
                let offset = Int(exactly: Self.number(sections, at: start + 24, bytes: 8)),
                let count = Int(exactly: Self.number(sections, at: start + 32, bytes: 8))
            else { return [] }
            return Self.bytes(of: file, at: offset, count: count)
        }
        guard let index = section(Self.typeSymbols) ?? section(Self.typeDynamicSymbols) else { return nil }
        symbols = content(index)
        names = content(Int(Self.number(sections, at: index * Self.sectionBytes + 40, bytes: 4)))
        withExtendedLifetime(file) {}
    }

    /// The function that holds `address`; `nil` where none has a name.
    func symbol(at address: UInt) -> Symbol? {
        // Hundreds of thousands are looked at: by loads, which are quick even without the optimizer.
        let found = symbols.withUnsafeBytes { table -> (value: UInt, name: Int)? in
            var start = 0
            while start + Self.symbolBytes <= table.count {
                defer { start += Self.symbolBytes }
                let value = UInt(table.loadUnaligned(fromByteOffset: start + 8, as: UInt64.self))
                let size = UInt(table.loadUnaligned(fromByteOffset: start + 16, as: UInt64.self))
                // The low half of `st_info` is the type: 2 is a function.
                if value <= address, address - value < size, table[start + 4] & 0xF == 2 {
                    return (value, Int(table.loadUnaligned(fromByteOffset: start, as: UInt32.self)))
                }
            }
            return nil
        }
        guard let found, found.name < names.count else { return nil }
        let name = names[found.name...].prefix { $0 != 0 }
        return Symbol(name: String(decoding: name, as: UTF8.self), value: found.value)
    }

    private static func number(_ bytes: [UInt8], at offset: Int, bytes count: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in (0..<count).reversed() { value = value << 8 | UInt64(bytes[offset + index]) }
        return value
    }

    /// As many of the bytes as the file has.
    private static func bytes(of file: borrowing Descriptor, at offset: Int, count: Int) -> [UInt8] {
        guard count > 0, count <= tableBytesMax else { return [] }
        let raw = file.raw
        return [UInt8](unsafeUninitializedCapacity: count) { room, read in
            while read < count {
                let place = room.baseAddress?.advanced(by: read)
                let part = pread(raw, place, count - read, off_t(offset + read))
                if part <= 0 { return }
                read += part
            }
        }
    }
}

/// Names of functions.
enum SymbolName {
    /// The name as it was written, for one that Swift has mangled; `nil` for what the compiler has put
    /// between two functions.
    static func readable(_ name: String) -> String? {
        guard let text = swift_demangle(name, name.utf8.count, nil, nil, 0) else { return name }
        defer { free(text) }
        let readable = String(cString: text)
        if between.contains(where: { readable.hasPrefix($0) }) { return nil }
        // What is private has the digest of its file with it.
        return readable.replacing(/\(([^() ]+) in _[0-9A-F]{32}\)/) { $0.1 }
    }

    private static let between = ["partial apply ", "reabstraction thunk ", "@objc "]
}
