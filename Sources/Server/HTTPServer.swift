// Server: from accepted sockets to handlers and back.
//
// An ``HTTPServer`` owns one ``ConnectionHost`` a loop; with more than one, each has a listener of its own on
// the same port and the kernel spreads the connections (SO_REUSEPORT); a Unix socket is one for all of them.
// A host accepts, keeps the list of its connections, and drains them. A ``Connection`` is one structured task
// that reads heads (HTTP's parser), finds the handler (``Router``), lends it the body (``BodyReader``) and
// writes the ``Response``. What handlers do lives in Ingest and Insight; what bytes mean lives in HTTP.

package import CoreMetrics
package import HTTP
package import Logging
package import Reactor

/// How a server listens and what it allows.
package struct HTTPServerConfiguration: Sendable {
    package var host = "127.0.0.1"
    /// 0 lets the kernel choose.
    package var port: UInt16 = 8080
    /// Where it listens instead: the path of a Unix socket.
    package var socketPath: String?
    /// Who is let in.
    package var access = AccessControl()
    package var limits = HTTPLimits()
    package var inflation = InflateLimits()
    /// Whose word about their clients is taken.
    package var proxies = TrustedProxies()
    /// Whether every connection has to begin with a PROXY header (version 2).
    ///
    /// The header is believed, so nobody but proxies should reach the port.
    package var expectsProxyHeader = false
    /// What counts against the limits; shared by the servers of a process.
    package var load = ServerLoad()
    /// `nil` for none.
    package var accessLog: AccessLog?
    /// Makes the metrics.
    package var metrics: any MetricsFactory = MetricsSystem.factory

    package init() {}
}

/// A listening HTTP/1.1 server on one or more loops.
package struct HTTPServer: Sendable {
    private let hosts: [ConnectionHost]
    /// Where it listens, with the real port.
    package let address: SocketAddress

    /// Binds, listens and starts to serve.
    ///
    /// - Throws: ``SystemError`` when the address cannot be bound.
    package init(
        _ configuration: HTTPServerConfiguration,
        router: Router,
        loops: [EventLoop],
        logger: Logger
    ) async throws(SystemError) {
        precondition(!loops.isEmpty, "a server runs on a loop")
        let context = ConnectionContext(
            router: router,
            limits: configuration.limits,
            inflation: configuration.inflation,
            access: configuration.access,
            metrics: ServerMetrics(configuration.metrics, configuration.limits),
            load: configuration.load,
            accessLog: configuration.accessLog,
            proxies: configuration.proxies,
            expectsProxyHeader: configuration.expectsProxyHeader
        )
        var hosts: [ConnectionHost] = []
        var port = configuration.port
        var bound: SocketAddress?
        for (index, loop) in loops.enumerated() {
            let host = ConnectionHost(
                loop: loop,
                context: context,
                numbers: UInt64(index) << 40,
                logger: logger
            )
            hosts.append(host)
            do throws(SystemError) {
                let address =
                    if index > 0, configuration.socketPath != nil {
                        try await host.listen(on: hosts[0].shareSocket())
                    } else {
                        try await host.listen(
                            on: Self.open(configuration, port: port, reusePort: loops.count > 1)
                        )
                    }
                port = address.port
                bound = bound ?? address
            } catch {
                // All loops listen or none.
                for host in hosts { await host.drain(deadline: .now()) }
                throw error
            }
        }
        self.hosts = hosts
        address = bound ?? .local
    }

    /// Connections that may wait to be accepted.
    private static let backlog: CInt = 4_096

    private static func open(
        _ configuration: HTTPServerConfiguration,
        port: UInt16,
        reusePort: Bool
    ) throws(SystemError) -> ListeningSocket {
        if let path = configuration.socketPath { return try ListeningSocket(path: path, backlog: backlog) }
        return try ListeningSocket(
            host: configuration.host,
            port: port,
            reusePort: reusePort,
            backlog: backlog
        )
    }

    /// Stops listening, answers what is under way, closes idle connections at once and the rest at
    /// `deadline`.
    package func drain(deadline: Deadline) async {
        await withTaskGroup { group in
            for host in hosts { group.addTask { await host.drain(deadline: deadline) } }
        }
    }
}
