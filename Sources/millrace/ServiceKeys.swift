import Access
import Logging
import Postgres
import Reactor
import Server

/// The keys of a running service: the copy that requests are checked against, and who keeps it up to date.
struct ServiceKeys: Sendable {
    let ring: KeyRing
    let routes: KeyRoutes
    private let connection: PostgresConnection
    private let watching: Task<Void, Never>

    static func start(
        _ database: ServiceDatabase,
        loop: EventLoop,
        logger: Logger
    ) async throws(ServiceFailure) -> ServiceKeys {
        let ring = KeyRing()
        let connection = PostgresConnection(
            database.configuration,
            name: "keys",
            loop: loop,
            logger: logger
        )
        let store = KeyStore(connection)
        do throws(KeyError) {
            // Before anybody is listened to: a key that was made must not be overlooked.
            try await store.load(into: ring)
        } catch {
            await connection.close()
            throw ServiceFailure(Exit.failure, "cannot read the keys: \(error)")
        }
        let watch = KeyWatch(store, ring: ring, loop: loop, logger: logger)
        // Ended by `stop`.
        let watching = Task(executorPreference: loop) { await watch.run() }
        return ServiceKeys(
            ring: ring,
            routes: KeyRoutes(store, ring: ring),
            connection: connection,
            watching: watching
        )
    }

    func stop() async {
        watching.cancel()
        await watching.value
        await connection.close()
    }
}
