import Testing

@Suite struct `Imports` {
    private static let manifest = ImportRules.manifest(SourceTree.text(of: "Package.swift"))

    @Test func `of every source file are allowed to its target`() {
        let findings = SourceTree.sources.flatMap { ImportRules.findings(in: $0, manifest: Self.manifest) }
        #expect(findings.isEmpty, "\(findings.report)")
    }

    @Test func `between targets go up the page only`() {
        let findings = ImportRules.findings(inManifest: Self.manifest)
        #expect(findings.isEmpty, "\(findings.report)")
        #expect(Self.manifest["Reactor"]?.contains("CSystem") == true, "the manifest has been understood")
        #expect(Self.manifest["millrace"]?.contains("Ingest") == true, "the manifest has been understood")
        let folders = Set(SourceTree.sources.compactMap(\.target))
        #expect(folders.subtracting(Self.manifest.keys).isEmpty, "every folder is a target")
    }

    @Test(arguments: [
        ("Analytics", "import Glibc"), ("HTTP", "import Synchronization"), ("Events", "package import HTTP"),
        ("Postgres", "import Workers"), ("Server", "@preconcurrency import Foundation"),
        ("Reactor", "import struct Foundation.Data"), ("Workers", "internal import FoundationEssentials"),
        ("Ingest", "import Glibc"), ("Jobs", "@testable import Ingest"), ("Postgres", "  import Crypto"),
    ])
    func `that break a rule are found`(target: String, line: String) {
        let file = SourceFile(path: "Sources/\(target)/X.swift", text: "// A comment.\n\(line)\n")
        let findings = ImportRules.findings(in: file, manifest: Self.manifest)
        #expect(findings.map(\.line) == [2])
    }

    @Test(arguments: [
        ("Reactor", "import CSystem"), ("Postgres", "package import Reactor"), ("Server", "import Glibc"),
        ("Analytics", "// import Glibc"), ("HTTP", "let text = \"import Glibc\""),
        ("Events", "important = 1"),
        ("Jobs", "import Synchronization"),
    ])
    func `that break none are not found`(target: String, line: String) {
        let file = SourceFile(path: "Sources/\(target)/X.swift", text: line)
        #expect(ImportRules.findings(in: file, manifest: Self.manifest).isEmpty)
    }

    @Test func `of a manifest are read with their products' modules`() {
        let text = """
            let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
            library("Jobs", ["Reactor", deque]), library("HTTP"),
            .executableTarget(
                name: "millrace",
                dependencies: [
                    "Jobs", deque,
                ])
            """
        #expect(
            ImportRules.manifest(text) == [
                "Jobs": ["Reactor", "DequeModule"], "HTTP": [], "millrace": ["Jobs", "DequeModule"],
            ]
        )
    }

    @Test(
        arguments: [
            ["Postgres": ["Workers"]], ["Reactor": ["HTTP"]], ["HTTP": ["DequeModule"]],
            ["Workers": ["Jobs"]],
            ["Novelty": []], ["CSystem": ["Reactor"]], ["Jobs": ["millrace"]],
        ] as [[String: Set<String>]]
    )
    func `of a manifest that go down or sideways are found`(manifest: [String: Set<String>]) {
        #expect(ImportRules.findings(inManifest: manifest).count == 1)
    }
}
