import Glibc

/// What this process may execute, by file.
struct LoadedCode: CodeMap, Sendable {
    /// A file that is mapped into the process.
    struct Image: Equatable, Sendable {
        let path: String
        /// What an address in the file's own terms is relative to.
        let base: UInt
        /// Its executable parts.
        var segments: [Range<UInt>]

        var name: Substring { path.split(separator: "/").last ?? "?" }
    }

    let images: [Image]
    /// Of the program, whose code keeps frame pointers.
    private let program: (image: Image, symbols: ELFSymbols)?

    /// The code that is loaded now, by proc(5).
    static func current() -> LoadedCode {
        do throws(SystemError) {
            var maps = try FileReader(path: "/proc/self/maps")
            var link = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink("/proc/self/exe", &link, link.count)
            return LoadedCode(
                maps: String(decoding: try maps.readAll(bytesMax: 4 << 20), as: UTF8.self),
                program: String(
                    decoding: link.prefix(max(0, count)).map(UInt8.init(bitPattern:)),
                    as: UTF8.self
                )
            )
        } catch {
            return LoadedCode(maps: "", program: "")
        }
    }

    /// Reads the text of /proc/PID/maps; `program` is the path of the process's own file.
    init(maps: String, program path: String) {
        var images: [Image] = []
        for line in maps.split(separator: "\n") {
            guard let mapping = Mapping(line) else { continue }
            if mapping.fileOffset == 0 {
                images.append(Image(path: mapping.path, base: mapping.range.lowerBound, segments: []))
            }
            guard mapping.isExecutable, let index = images.lastIndex(where: { $0.path == mapping.path })
            else {
                continue
            }
            images[index].segments.append(mapping.range)
        }
        self.images = images.filter { !$0.segments.isEmpty }
        program = self.images.first { $0.path == path }.flatMap { image in
            ELFSymbols(path: path).map { (image, $0) }
        }
    }

    private struct Mapping {
        let range: Range<UInt>
        let isExecutable: Bool
        let fileOffset: UInt
        let path: String

        /// `START-END PERMISSIONS OFFSET DEVICE INODE PATH`; `nil` for what is no file.
        init?(_ line: Substring) {
            let words = line.split(separator: " ", maxSplits: 5)
            guard words.count == 6, let offset = UInt(words[2], radix: 16) else { return nil }
            let bounds = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
            let path = words[5].drop { $0 == " " }
            guard bounds.count == 2, bounds[0] < bounds[1], path.hasPrefix("/") else { return nil }
            range = bounds[0]..<bounds[1]
            isExecutable = words[1].contains("x")
            fileOffset = offset
            self.path = String(path)
        }
    }

    // MARK: Code

    func image(of address: UInt) -> Image? {
        images.first { $0.segments.contains { $0.contains(address) } }
    }

    func contains(_ address: UInt) -> Bool { image(of: address) != nil }

    func keepsFrames(_ address: UInt) -> Bool {
        program?.image.segments.contains { $0.contains(address) } ?? false
    }

    func function(of address: UInt) -> UInt? {
        guard let program, keepsFrames(address) else { return nil }
        return program.symbols.symbol(at: address - program.image.base).map { program.image.base + $0.value }
    }

    /// What is known of an address: the function's name, as far as its file has symbols, else where in the
    /// file it is, for a tool that has them; `nil` for what the compiler has put between two functions.
    func description(of address: UInt) -> String? {
        guard let image = image(of: address) else { return "0x" + String(address, radix: 16) }
        let offset = address - image.base
        let symbols = image == program?.image ? program?.symbols : ELFSymbols(path: image.path)
        guard let name = symbols?.symbol(at: offset)?.name else {
            return "\(image.name)+0x\(String(offset, radix: 16))"
        }
        return SymbolName.readable(name).map { String($0.prefix(Self.nameCharactersMax)) }
    }

    /// Names of generic closures can be as long as a page.
    private static let nameCharactersMax = 200
}
