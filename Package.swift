// swift-tools-version: 6.3

import PackageDescription

/// Every target is compiled with the checks that Swift 7 will make the default, and without warnings.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "CoreMetrics", package: "swift-metrics")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

/// A library target; the folder that it embeds becomes part of the program.
func library(
    _ name: String,
    _ dependencies: [Target.Dependency] = [],
    embedding folder: String? = nil
) -> Target {
    let resources = folder.map { [Resource.embedInCode($0)] } ?? []
    return .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
    name: "millrace",
    products: [.executable(name: "millrace", targets: ["millrace"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    ],
    targets: [
        // L0: C headers.
        .systemLibrary(name: "CSystem"),
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // L1: the machine, and pure targets that import nothing.
        library("Reactor", ["CSystem", heap, deque]),
        library("HTTP"),
        library("Events"),
        library("Analytics"),

        // L2: each owns one kind of resource.
        library("Workers", ["Reactor", "Events", "Analytics", deque, logging, metrics]),
        library("Postgres", ["Reactor", "CPostgres", deque, logging, metrics], embedding: "Migrations"),
        library("Spool", ["Reactor", logging, metrics]),
        library("Server", ["Reactor", "HTTP", "Events", "CZlib", crypto, logging, metrics]),

        // L3: the product.
        library(
            "Ingest",
            ["Reactor", "HTTP", "Events", "Postgres", "Spool", "Server", crypto, deque, logging, metrics]
        ),
        library(
            "Jobs",
            [
                "Reactor", "HTTP", "Events", "Analytics", "Postgres", "Workers", "Server", deque, logging,
                metrics,
            ]
        ),
        library(
            "Insight",
            ["Reactor", "HTTP", "Events", "Postgres", "Server", "Analytics", logging, metrics],
            embedding: "Pages"
        ),

        library("Access", ["Reactor", "HTTP", "Events", "Postgres", "Server", crypto, logging]),

        // L4: the program.
        .executableTarget(
            name: "millrace",
            dependencies: [
                "Reactor", "HTTP", "Events", "Analytics", "Workers", "Postgres", "Spool", "Server", "Ingest",
                "Jobs", "Insight", "Access", arguments, crypto, logging, metrics,
            ],
            swiftSettings: strict
        ),

        // Tests: real PostgreSQL, real processes, real sockets.
        .target(
            name: "TestSupport",
            dependencies: ["Reactor", "Postgres", "Spool", logging],
            path: "Tests/TestSupport",
            swiftSettings: strict
        ),
        tests("Reactor", ["Reactor", "CSystem", "TestSupport", "millrace"]),
        tests("HTTP", ["HTTP"]),
        tests("Events", ["Events", "TestSupport"]),
        tests("Analytics", ["Analytics", "TestSupport"]),
        tests("Workers", ["Workers", "Reactor", "Events", "Analytics", "TestSupport", "millrace", logging]),
        tests("Postgres", ["Reactor", "Postgres", "TestSupport", "millrace", logging]),
        tests("Spool", ["Spool", "Reactor", "TestSupport", "millrace", logging]),
        tests("Server", ["Server", "Reactor", "HTTP", "Events", "TestSupport", logging, metrics]),
        tests(
            "Ingest",
            [
                "Ingest", "Reactor", "HTTP", "Events", "Postgres", "Spool", "Server", "TestSupport",
                "millrace",
                logging,
            ]
        ),
        tests(
            "Jobs",
            [
                "Jobs", "Reactor", "HTTP", "Events", "Analytics", "Postgres", "Workers", "Server",
                "TestSupport", "millrace", logging,
            ]
        ),
        tests(
            "Insight",
            [
                "Insight", "Reactor", "HTTP", "Events", "Analytics", "Postgres", "Server", "TestSupport",
                "millrace",
                logging, metrics,
            ]
        ),
        tests(
            "Access",
            ["Access", "Reactor", "HTTP", "Events", "Postgres", "Server", "TestSupport", "millrace", logging]
        ),
        tests(
            "millrace",
            ["millrace", "Reactor", "HTTP", "Postgres", "Server", "TestSupport", arguments, logging]
        ),
        tests(
            "Simulation",
            ["Ingest", "Reactor", "Events", "HTTP", "Postgres", "Spool", "TestSupport", heap, logging]
        ),
        tests("EndToEnd", ["Reactor", "HTTP", "Events", "Postgres", "TestSupport", "millrace", logging]),
        tests("Style", []),
    ]
)
