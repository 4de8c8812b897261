import Access
import Server
import Testing

@Suite struct `A new key` {
    @Test func `is refused with the name of what is wrong with it`() {
        let wrong: [(String, () throws(KeyError) -> NewKey)] = [
            ("name", { () throws(KeyError) in try NewKey(name: "", scopes: ["write"]) }),
            ("name", { () throws(KeyError) in try NewKey(name: "a\nb", scopes: ["write"]) }),
            ("scopes", { () throws(KeyError) in try NewKey(name: "a", scopes: []) }),
            ("scopes", { () throws(KeyError) in try NewKey(name: "a", scopes: ["write", "root"]) }),
            ("source", { () throws(KeyError) in try NewKey(name: "a", scopes: ["write"], source: "") }),
            ("types", { () throws(KeyError) in try NewKey(name: "a", scopes: ["write"], types: [""]) }),
            (
                "origins",
                { () throws(KeyError) in
                    try NewKey(name: "a", scopes: ["write"], origins: ["https://a.example/path"])
                }
            ),
            ("rate", { () throws(KeyError) in try NewKey(name: "a", scopes: ["write"], rate: 0) }),
            ("rate", { () throws(KeyError) in try NewKey(name: "a", scopes: ["write"], rate: .nan) }),
            ("burst", { () throws(KeyError) in try NewKey(name: "a", scopes: ["write"], burst: -1) }),
        ]
        for (member, make) in wrong {
            do throws(KeyError) {
                _ = try make()
                Issue.record("\(member) was taken")
            } catch {
                guard case .invalid(member, _) = error else {
                    Issue.record("\(error) does not name \(member)")
                    continue
                }
            }
        }
    }

    @Test func `is random, long and printable, and its digest is the key's`() {
        let keys = (0..<200).map { _ in MadeKey() }
        #expect(Set(keys.map(\.key)).count == 200)
        for made in keys {
            #expect(made.key.utf8.count == 46 && made.key.hasPrefix("mr_") && made.key.hasSuffix(made.hint))
            #expect(made.digest == KeyDigest(of: Array(made.key.utf8)))
        }
    }
}
