import Testing

@Suite struct `Sizes` {
    @Test func `of files, functions and lines are within their limits`() {
        let findings = SourceTree.files.flatMap(SizeRules.findings)
        #expect(findings.isEmpty, "\(findings.report)")
    }

    private func file(_ text: String) -> SourceFile { SourceFile(path: "Sources/A/X.swift", text: text) }

    @Test func `above the limits are found, and those at the limits are not`() {
        let line = "let a = 1\n"
        #expect(SizeRules.findings(in: file(String(repeating: line, count: 400))).isEmpty)
        #expect(SizeRules.findings(in: file(String(repeating: line, count: 401))).count == 1)
        let wide = String(repeating: "é", count: 110)
        #expect(SizeRules.findings(in: file("\n//\(wide.dropLast(2))\n")).isEmpty)
        #expect(SizeRules.findings(in: file("\n//\(wide)\n")).map(\.line) == [2])
        let body = String(repeating: "    f()\n", count: 58)
        #expect(SizeRules.findings(in: file("func f() {\n\(body)}\n")).isEmpty)
        #expect(SizeRules.findings(in: file("\nfunc f() {\n\(body)    f()\n}\n")).map(\.line) == [2])
    }

    @Test func `of functions are counted from the declaration to the closing brace`() {
        let text = """
            protocol P {
                func required(a: () -> Void) -> Int
                var value: Int { get }
            }
            struct A {
                var stored = [1, 2].map { $0 }
                init(a: Int = { 1 }()) throws(E)
                where T: B {
                    self.init(a: "}{")  // }
                }
                var computed: Int {
                    1
                }
                func `odd } name`(
                    a: Int
                ) async
                    -> Int
                {
                    if true { "\\(f { "}" }) {" } else { }
                }
                subscript(a: Int) -> Int { 1 }
                deinit { }
            }
            """
        let expected = [(3, 1), (7, 4), (11, 3), (14, 7), (21, 1), (22, 1)].map(SizeRules.Function.init)
        #expect(SizeRules.functions(of: file(text)) == expected)
    }
}
