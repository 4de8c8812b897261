import Testing

@Suite struct `Words` {
    @Test func `in Sources are none of the banned ones`() {
        let findings = SourceTree.sources.flatMap { WordRules.findings(in: $0, bans: WordRules.inSources) }
        #expect(findings.isEmpty, "\(findings.report)")
    }

    @Test func `in Tests do not switch tests off`() {
        let findings = SourceTree.tests.flatMap { WordRules.findings(in: $0, bans: WordRules.inTests) }
        #expect(findings.isEmpty, "\(findings.report)")
    }

    @Test func `that name folders and files say what is in them`() {
        let paths = ["Sources", "Tests", "Benchmarks"].flatMap(SourceTree.paths)
        let findings = WordRules.findings(inPaths: paths)
        #expect(findings.isEmpty, "\(findings.report)")
    }

    @Test(arguments: [
        "// TODO: later", "/// FIXME", "let XXX = 1", "print(1)", "let a = try! f()", "fatalError(\"no\")",
        "class A: @unchecked Sendable {}", "nonisolated(unsafe) var a = 1", "Task.detached { }",
        "var p: UnsafeMutablePointer<Int>", "UnsafePointer(p)", "a.withUnsafeBytes { _ in }",
        "UnsafeRawPointer?",
        "f(p as UnsafeBufferPointer)", "DispatchSemaphore(value: 0)", "let s = \"\\(try! f())\"",
    ])
    func `that are banned in Sources are found`(line: String) {
        let file = SourceFile(path: "Sources/Ingest/X.swift", text: "\n\(line)\n")
        #expect(WordRules.findings(in: file, bans: WordRules.inSources).map(\.line) == [2])
    }

    @Test(arguments: [
        "// print(1) would go to the log", "let s = \"try! harder\"", "mkstemp(\"aXXXXXX\")",
        "fingerprint(1)",
        "let s = #\"fatalError(\"#", "/* a /* b */ try! */", "func `try! it`() {}", "preprint()", "TODOs",
    ])
    func `that only look like banned ones are not found`(line: String) {
        let file = SourceFile(path: "Sources/Ingest/X.swift", text: line)
        let findings = WordRules.findings(in: file, bans: WordRules.inSources)
        #expect(findings.isEmpty, "\(findings.report)")
    }

    @Test func `about memory are allowed in four places, and print in the program`() {
        let text = "let p: UnsafeMutablePointer<Int>"
        let places = [
            ("Reactor/X", 0), ("Postgres/LibPQ", 0), ("Server/Inflater", 0), ("Postgres/X", 1),
            ("Server/X", 1),
        ]
        for (place, count) in places {
            let file = SourceFile(path: "Sources/\(place).swift", text: text)
            #expect(WordRules.findings(in: file, bans: WordRules.inSources).count == count, "\(place)")
        }
        let program = SourceFile(path: "Sources/millrace/X.swift", text: "print(1)")
        #expect(WordRules.findings(in: program, bans: WordRules.inSources).isEmpty)
    }

    @Test(arguments: ["@Test(.disabled(\"flaky\")) func f() {}", "throw XCTSkip()", "try XCTSkipIf(true)"])
    func `that switch tests off are found`(line: String) {
        let file = SourceFile(path: "Tests/XTests/X.swift", text: line)
        #expect(WordRules.findings(in: file, bans: WordRules.inTests).count == 1)
    }

    @Test func `that name by kind are found`() {
        let bad = [
            "Sources/Server/Utils", "Sources/Common/A.swift", "Tests/Helpers", "Sources/A/PoolManager.swift",
            "Sources/A/String+Extensions.swift", "Sources/Models",
        ]
        let good = ["Sources/Server/Router.swift", "Sources/A/Managed.swift", "Sources/A/CommonName.swift"]
        // The folder is a path of its own in the tree, so a file in it is not found twice.
        #expect(
            WordRules.findings(inPaths: bad + good).map(\.path)
                == bad.filter { $0 != "Sources/Common/A.swift" }
        )
        #expect(WordRules.findings(inPaths: ["Sources/Common"]).count == 1)
    }
}
