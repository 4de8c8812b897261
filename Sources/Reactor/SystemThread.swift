import CSystem
import Glibc

/// A thread of the kernel's, for code that blocks it or is an executor itself.
struct SystemThread: Sendable {
    private let handle: pthread_t

    private final class Body: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts a thread that runs `body` and ends; 15 bytes of `name` show in `ps -L` and debuggers.
    ///
    /// - Throws: ``SystemError`` when threads have run out.
    init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let context = Unmanaged.passRetained(Body(body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread,
            nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            context.toOpaque()
        )
        if code != 0 {
            context.release()
            throw SystemError(call: "pthread_create", code: code)
        }
        _ = csystem_set_thread_name(thread, String(name.prefix(15)))
        handle = thread
    }

    /// Waits for its end; once, from another thread.
    func join() { _ = pthread_join(handle, nil) }
}
