import Glibc
import Reactor

/// The places, programs and account of one private cluster, all checked before anything is started.
struct ClusterLayout: Equatable, Sendable {
    /// The service's data directory, free of symbolic links.
    let data: String
    /// The folder of `initdb` and `postgres`.
    let programs: String
    let socketDirectory: String
    /// Whom the server runs as; `nil`: as whoever we are.
    let user: UserIdentity?

    static let port = 5_432
    /// sun_path holds 108 bytes, its NUL included (unix(7)).
    private static let socketPathBytesMax = 107

    var cluster: String { data + "/postgres" }
    /// What initdb fills before it gets its name, so that a crash leaves no half of a cluster.
    var unfinishedCluster: String { data + "/postgres.new" }
    var log: String { data + "/postgres.log" }
    var isInitialized: Bool { ClusterFiles.exists(cluster + "/PG_VERSION") }

    /// The connection string of one of its databases.
    func conninfo(database: String, user: String) -> String {
        func quoted(_ text: String) -> String {
            var result = "'"
            for character in text {
                if character == "'" || character == "\\" { result.append("\\") }
                result.append(character)
            }
            return result + "'"
        }
        let host = quoted(socketDirectory)
        return "host=\(host) port=\(Self.port) dbname=\(quoted(database)) user=\(quoted(user))"
    }

    /// Finds everything and makes the directories.
    static func prepare(
        _ configuration: EmbeddedClusterConfiguration
    ) throws(EmbeddedClusterError) -> ClusterLayout {
        let user = geteuid() == 0 ? try unprivilegedUser() : nil
        let data = try makeData(configuration.data, user: user)
        try checkEnterable(data, by: user)
        return ClusterLayout(
            data: data,
            programs: try findPrograms(data: data, searchPath: configuration.searchPath),
            socketDirectory: try makeSocketDirectory(data: data, user: user),
            user: user
        )
    }

    // MARK: Account

    private static func unprivilegedUser() throws(EmbeddedClusterError) -> UserIdentity {
        guard let user = UserIdentity(named: "postgres") ?? UserIdentity(named: "nobody") else {
            throw .notInstalled(
                "PostgreSQL refuses to run as root, and there is no account postgres or nobody"
            )
        }
        return user
    }

    /// PostgreSQL's account has to pass every directory above its own; the error names what to change.
    private static func checkEnterable(_ path: String, by user: UserIdentity?) throws(EmbeddedClusterError) {
        guard let user else { return }
        var prefix = ""
        for part in path.split(separator: "/") {
            prefix += "/" + part
            guard let status = ClusterFiles.status(of: prefix) else { continue }
            let bit: UInt32 =
                status.owner == user.userID ? 0o100 : status.group == user.groupID ? 0o010 : 0o001
            if status.permissions & bit == 0 {
                throw .unusableData(
                    "PostgreSQL runs as \(user.name), who may not enter \(prefix): choose another --data"
                        + " or chmod a+x \(prefix)"
                )
            }
        }
    }

    // MARK: Directories

    private static func makeData(_ path: String, user: UserIdentity?) throws(EmbeddedClusterError) -> String {
        do throws(SystemError) {
            // Others may pass through but not look: as root the server's account has to reach its folder.
            try ClusterFiles.makeDirectories(path, permissions: user == nil ? 0o700 : 0o711)
            guard let data = ClusterFiles.resolve(path) else {
                throw SystemError(call: "realpath \(path)", code: errno)
            }
            return data
        } catch {
            throw .unusableData("\(path) cannot hold the database (\(error)): choose another --data")
        }
    }

    /// A directory of 0700 is the guard of a server that trusts whoever reaches its socket.
    private static func makeSocketDirectory(
        data: String,
        user: UserIdentity?
    ) throws(EmbeddedClusterError) -> String {
        let preferred = data + "/run"
        let socketBytes = preferred.utf8.count + "/.s.PGSQL.\(port)".utf8.count
        // libpq and the server take a comma for the end of a list's entry.
        let isUsable = socketBytes <= socketPathBytesMax && !preferred.utf8.contains(UInt8(ascii: ","))
        let owner = user?.userID ?? geteuid()
        let path = isUsable ? preferred : "/tmp/millrace-\(owner)-\(Migration.checksum(of: data))"
        do throws(SystemError) {
            try ClusterFiles.makeDirectory(path, permissions: 0o700)
            if let user, ClusterFiles.status(of: path, followingLinks: false)?.owner == geteuid() {
                try ClusterFiles.changeOwner(path, to: user)
            }
        } catch {
            throw .unusableData("no directory for PostgreSQL's socket: \(error)")
        }
        // In /tmp anybody may have been there first.
        let status = ClusterFiles.status(of: path, followingLinks: false)
        guard let status, status.isDirectory, status.owner == owner, status.permissions == 0o700 else {
            throw .unusableData(
                "\(path) is not a directory that only PostgreSQL's account may enter: remove it"
            )
        }
        return path
    }

    // MARK: Programs

    /// The newest installed version, or exactly the one that the cluster was made by.
    static func findPrograms(data: String, searchPath: String?) throws(EmbeddedClusterError) -> String {
        let version = ClusterFiles.read(data + "/postgres/PG_VERSION")
        let major = version.flatMap { Int($0.prefix { $0.isNumber }) }
        let numbered = (major.map { [$0] } ?? Array((12...30).reversed())).flatMap { number in
            [
                "/usr/lib/postgresql/\(number)/bin", "/usr/pgsql-\(number)/bin",
                "/opt/postgresql/\(number)/bin",
            ]
        }
        // A folder of PATH says nothing of its version; the server itself refuses another version's cluster.
        let others = (searchPath ?? "").split(separator: ":").map(String.init) + ["/usr/local/pgsql/bin"]
        for folder in numbered + others
        where ClusterFiles.isExecutable(folder + "/initdb") && ClusterFiles.isExecutable(folder + "/postgres")
        {
            return folder
        }
        let missing =
            major.map { "PostgreSQL \($0), which made the database in --data," } ?? "PostgreSQL's server"
        throw .notInstalled("\(missing) is not installed: install it, or name a database with --database")
    }
}
