import Testing

@Suite struct `Layout` {
    @Test func `of the root has what the architecture names and nothing else`() {
        let findings = LayoutRules.findings(inRoot: SourceTree.entries(of: "."))
        #expect(findings.isEmpty, "\(findings.report)")
    }

    @Test func `of each target has a file that introduces it`() {
        let findings = LayoutRules.findings(inHeadersOf: SourceTree.sources)
        #expect(findings.isEmpty, "\(findings.report)")
    }

    /// Without this a tree that is not found would pass every rule.
    @Test func `is found`() {
        #expect(SourceTree.sources.contains { $0.path == "Sources/Analytics/Rollup.swift" })
        #expect(SourceTree.tests.contains { $0.path == "Tests/StyleTests/LayoutRuleTests.swift" })
        #expect(SourceTree.text(of: "Package.swift").contains("millrace"))
    }

    @Test func `of a root with something missing or superfluous is found`() {
        let whole = LayoutRules.rootEntries.sorted()
        #expect(LayoutRules.findings(inRoot: whole + [".git", ".build", ".build-release"]).isEmpty)
        #expect(
            LayoutRules.findings(inRoot: whole + ["scripts", ".env"]).map(\.path) == ["scripts", ".env"]
        )
        #expect(LayoutRules.findings(inRoot: whole.filter { $0 != "LICENSE" }).map(\.path) == ["LICENSE"])
    }

    @Test func `of a target without an introduction is found`() {
        let header = String(repeating: "// About.\n", count: 5)
        let files = [
            SourceFile(path: "Sources/A/A.swift", text: header + "let a = 1\n"),
            SourceFile(path: "Sources/A/B.swift", text: "let b = 1\n"),
            SourceFile(path: "Sources/C/C.swift", text: "let c = 1\n" + header),
        ]
        #expect(LayoutRules.findings(inHeadersOf: files).map(\.path) == ["Sources/C"])
    }
}
