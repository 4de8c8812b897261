import Testing

@testable import millrace

@Suite struct `Values of settings` {
    @Test func `read sizes in powers of 1024`() {
        let sizes = [
            ("1", 1), ("512b", 512), ("1k", 1024), ("16MiB", 16 << 20), ("16 mb", 16 << 20), ("2G", 2 << 30),
        ]
        for (text, bytes) in sizes { #expect(SettingText.bytes(text) == bytes, "\(text)") }
        for text in ["", "0", "-1", "1.5M", "M", "1T", "9223372036854775807k", "１"] {
            #expect(SettingText.bytes(text) == nil, "\(text)")
        }
    }

    @Test func `read times up to a day`() {
        let times: [(String, Duration)] = [
            ("30", .seconds(30)), ("30s", .seconds(30)), ("2m", .seconds(120)), ("1h", .seconds(3_600)),
            ("250ms", .milliseconds(250)), ("0", .zero), ("24h", .seconds(86_400)),
        ]
        for (text, duration) in times { #expect(SettingText.duration(text) == duration, "\(text)") }
        for text in ["", "s", "-1s", "25h", "1d", "1.5s", "99999999999999999999s"] {
            #expect(SettingText.duration(text) == nil, "\(text)")
        }
    }

    @Test func `read addresses with a port`() {
        #expect(ListenAddress("[::]:0") == ListenAddress(host: "[::]", port: 0))
        #expect(ListenAddress("0.0.0.0:80")?.reachable == ListenAddress(host: "127.0.0.1", port: 80))
        #expect(ListenAddress("[::]:80")?.reachable == ListenAddress(host: "[::1]", port: 80))
        for text in [
            "", ":80", "host", "host:", "host:x", "host:+1", "::1:80", "[]:1", "a b:1", "http://h:1",
            "h:65536",
        ] {
            #expect(ListenAddress(text) == nil, "\(text)")
        }
    }

    @Test func `read paths of Unix sockets`() {
        let longest = String(repeating: "x", count: 107)
        #expect(ListenTarget("unix:/run/m.sock") == .unix(path: "/run/m.sock"))
        #expect(ListenTarget("unix:\(longest)") == .unix(path: longest))
        #expect(ListenTarget("unix:m:1")?.description == "unix:m:1")
        #expect(ListenTarget("h:1") == .tcp(ListenAddress(host: "h", port: 1)))
        for text in ["unix:", "unix:\(longest)x", "unix:a\u{0}b", "Unix:/x"] {
            #expect(ListenTarget(text) == nil, "\(text)")
        }
    }

    @Test func `read servers with and without port and prefix`() throws {
        #expect(try ServerURL("http://h:81/").description == "http://h:81")
        #expect(try ServerURL("h:81").description == "http://h:81")
        #expect(try ServerURL("HTTP://h/a/b/").description == "http://h:80/a/b")
        #expect(try ServerURL("http://[::1]").description == "http://[::1]:80")
        #expect(throws: ServerURL.Malformation.encrypted) { try ServerURL("https://h") }
        for text in [
            "", "http://", "http://h:0", "http://h:x", "http://u:p@h", "http://h/a b", "http://h/?q",
            "ftp://h",
        ] {
            #expect(throws: ServerURL.Malformation.malformed, "\(text)") { try ServerURL(text) }
        }
    }

    @Test func `say where the server is that a command asks`() throws {
        func server(_ given: String?, _ environment: [String: String]) throws -> String {
            let machine = Machine(cores: 1, hostName: "", logsToTerminal: false)
            return try ServerURL(given: given, Surroundings(environment: environment, machine: machine))
                .description
        }
        #expect(try server(nil, [:]) == "http://127.0.0.1:8080")
        #expect(try server("unix:/run/m.sock", [:]) == "unix:/run/m.sock")
        #expect(try server(nil, ["MILLRACE_LISTEN": "unix:/run/m.sock,h:1"]) == "unix:/run/m.sock")
        #expect(try server(nil, ["MILLRACE_LISTEN": "0.0.0.0:9000,[::]:9000"]) == "http://127.0.0.1:9000")
        #expect(try server(nil, ["MILLRACE_LISTEN": "0.0.0.0:0"]) == "http://127.0.0.1:8080")
        #expect(try server(nil, ["MILLRACE_LISTEN": "h:1", "MILLRACE_URL": "http://x:2"]) == "http://x:2")
        #expect(try server("http://y:3", ["MILLRACE_URL": "http://x:2"]) == "http://y:3")
    }
}
