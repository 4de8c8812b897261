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
    private let reloading: Task<Void, Never>

    static func start(
        _ database: ServiceDatabase,
        reloads: AsyncStream<Void>,
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
        let reloading = Task(executorPreference: loop) {
            for await _ in reloads { await watch.readNow() }
        }
        return ServiceKeys(
            ring: ring,
            routes: KeyRoutes(store, ring: ring),
            connection: connection,
            watching: watching,
            reloading: reloading
        )
    }

    func stop() async {
        watching.cancel()
        reloading.cancel()
        await watching.value
        await reloading.value
        await connection.close()
    }
}
