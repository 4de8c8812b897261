/// What stands at the root, and at the top of a target's main file.
enum LayoutRules {
    static let rootEntries: Set<String> = [
        "Package.swift", "README.md", "Dockerfile", "compose.yaml", "Makefile", "CHANGELOG.md", "LICENSE",
        "migrations", "Sources", "Tests", "Benchmarks", "examples", "docs", ".ci",
    ]
    static let dotFiles: Set<String> = [".swift-format", ".gitignore", ".dockerignore", ".git"]

    /// What running and building leave behind; git ignores it.
    static let leftBehind: Set<String> = ["Package.resolved", "millrace-data", ".venv"]

    static func findings(inRoot entries: [String]) -> [Finding] {
        let missing = rootEntries.subtracting(entries).sorted()
        let surplus = entries.filter { name in
            !rootEntries.contains(name) && !dotFiles.contains(name) && !leftBehind.contains(name)
                && !name.hasPrefix(".build")
        }
        return missing.map { Finding(path: $0, message: "is missing at the root") }
            + surplus.map { Finding(path: $0, message: "does not belong at the root") }
    }

    static let headerLinesMin = 5

    /// Targets without a file that says at its top what lives here and what does not.
    static func findings(inHeadersOf files: [SourceFile]) -> [Finding] {
        let targets = Dictionary(grouping: files.filter { $0.target != nil }) { $0.target ?? "" }
        return targets.sorted { $0.key < $1.key }.compactMap { target, files in
            let longest = files.map { $0.lines.prefix { $0.hasPrefix("//") }.count }.max() ?? 0
            if longest >= headerLinesMin { return nil }
            let message = "no file opens with \(headerLinesMin) lines on what lives here and what does not"
            return Finding(path: "Sources/\(target)", message: message)
        }
    }
}
