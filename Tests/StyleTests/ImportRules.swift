/// Which modules a target may import: what `Package.swift` gives it, and the system's where the list below
/// says so.
enum ImportRules {
    /// The targets from the bottom up.
    ///
    /// A target imports from the layers before its own only, so siblings never import each other.
    static let layers: [Set<String>] = [
        ["CSystem", "CPostgres", "CZlib"],
        ["Reactor", "HTTP", "Events", "Analytics"],
        ["Workers", "Postgres", "Spool", "Server"],
        ["Ingest", "Jobs", "Insight", "Access"],
        ["millrace"],
    ]

    /// Bytes in, values out: these import nothing at all.
    static let pure: Set<String> = ["HTTP", "Events", "Analytics"]

    /// Those that touch descriptors, processes, files or signals.
    static let withGlibc: Set<String> = ["Reactor", "Postgres", "Server", "Spool", "Workers", "millrace"]

    /// Files of Sources that may import Foundation, by path.
    static let withFoundation: Set<String> = []

    static func findings(in file: SourceFile, manifest: [String: Set<String>]) -> [Finding] {
        guard let target = file.target else { return [] }
        return imports(of: file).compactMap { line, module in
            if isAllowed(module, in: file, of: target, manifest: manifest) { return nil }
            return Finding(path: file.path, line: line, message: "\(target) may not import \(module)")
        }
    }

    private static func isAllowed(
        _ module: String,
        in file: SourceFile,
        of target: String,
        manifest: [String: Set<String>]
    ) -> Bool {
        if pure.contains(target) { return false }
        if module.hasPrefix("Foundation") { return withFoundation.contains(file.path) }
        if module == "Glibc" { return withGlibc.contains(target) }
        return module == "Synchronization" || manifest[target]?.contains(module) == true
    }

    static func imports(of file: SourceFile) -> [(line: Int, module: String)] {
        var found: [(Int, String)] = []
        for (index, line) in file.codeLines.enumerated() {
            let words = line.split { " .\t;".contains($0) }
            guard let position = words.firstIndex(of: "import"), position + 1 < words.count else { continue }
            let isStatement = words[..<position].allSatisfy { $0.hasPrefix("@") || accessLevels.contains($0) }
            guard isStatement else { continue }
            let rest = words[(position + 1)...].drop { kinds.contains($0) }
            if let module = rest.first { found.append((index + 1, String(module))) }
        }
        return found
    }

    private static let accessLevels: Set<Substring> = [
        "public", "package", "internal", "fileprivate", "private",
    ]
    private static let kinds: Set<Substring> = [
        "struct", "class", "enum", "protocol", "func", "var", "let", "typealias",
    ]

    /// Dependencies against the layers, and the purity of the pure.
    static func findings(inManifest manifest: [String: Set<String>]) -> [Finding] {
        manifest.sorted { $0.key < $1.key }.flatMap { target, modules -> [Finding] in
            func finding(_ message: String) -> Finding { Finding(path: "Package.swift", message: message) }
            guard let layer = layers.firstIndex(where: { $0.contains(target) }) else {
                return [finding("\(target) has no place in the layers")]
            }
            if pure.contains(target), !modules.isEmpty { return [finding("\(target) is to import nothing")] }
            let tooHigh = layers[layer...].reduce(into: Set()) { $0.formUnion($1) }
            return modules.intersection(tooHigh).sorted().map { finding("\(target) may not depend on \($0)") }
        }
    }

    /// Each target of a manifest written like ours, with the modules that it depends on.
    static func manifest(_ text: String) -> [String: Set<String>] {
        var products: [Substring: Substring] = [:]
        for match in text.matches(of: /let (\w+) = Target\.Dependency\.product\(name: "(\w+)"/) {
            products[match.1] = match.2
        }
        var targets: [String: Set<String>] = [:]
        let target =
            /(?:library\(\s*|executableTarget\(\s*name: )"(\w+)"(?:,\s*(?:dependencies: )?\[([^\]]*)\])?/
        for match in text.matches(of: target) {
            let names = (match.2 ?? "").split { ", \n\t".contains($0) }.map { name in
                name.hasPrefix("\"") ? name.dropFirst().dropLast() : products[name] ?? name
            }
            targets[String(match.1)] = Set(names.map(String.init))
        }
        return targets
    }
}
