import Glibc
import Reactor

/// The server's first process: a child of ours, or one that an earlier service left running.
///
/// On the loop only.
enum Postmaster {
    case child(ChildProcess)
    case adopted(pid: Int32, directory: String)

    var pid: Int32 {
        switch self {
        case .child(let child): child.pid
        case .adopted(let pid, _): pid
        }
    }

    var isRunning: Bool {
        switch self {
        case .child(let child): child.exitStatus == nil
        case .adopted(let pid, let directory): PostmasterFile.isPostmaster(pid, of: directory)
        }
    }

    func signal(_ signal: CInt) {
        switch self {
        case .child(let child): child.signal(signal)
        case .adopted(let pid, _): if isRunning { _ = kill(pid, signal) }
        }
    }

    /// Suspends until it has ended; returns early when the task is cancelled and the process is not our
    /// child.
    func untilExit(on loop: EventLoop) async {
        switch self {
        case .child(let child): _ = await child.waitForExit()
        case .adopted:
            // Nobody tells us of the end of a process that is not our child.
            while isRunning, !Task.isCancelled { await loop.sleep(until: .after(.milliseconds(100))) }
        }
    }
}
