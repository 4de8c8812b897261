import Testing

@testable import millrace

@Suite struct `The mask of secrets` {
    @Test(
        arguments: [
            ("postgresql://u:secret@h:5432/d", "postgresql://u:***@h:5432/d"),
            ("postgres://u:se:cr@et@h1:1,h2:2/d?x=1", "postgres://u:***@h1:1,h2:2/d?x=1"),
            ("postgresql://u:se/cr?et#@h/d", "postgresql://u:***@h/d"),
            (
                "postgresql://u@h/d?password=secret&sslmode=require",
                "postgresql://u@h/d?password=***&sslmode=require"
            ),
            ("postgresql://h/d?sslpassword=secret", "postgresql://h/d?sslpassword=***"),
            ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
            ("password = 'se cr\\'et' host=h", "password = *** host=h"),
            ("PASSWORD=secret", "PASSWORD=***"),
            ("/v1/keys/mr_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcdefg?x", "/v1/keys/mr_***?x"),
            ("xmr_abcdefghijklmnopqrst", "xmr_***"),
            ("PGPASSWORD=secret", "PGPASSWORD=***"),
            ("password=se\\ cret host=h", "password=*** host=h"),
            ("password=a&b host=h", "password=*** host=h"),
            ("password='never ends", "password=***"),
            ("password=", "password=***"),
            ("password=x\\", "password=***"),
            (
                "cannot reach postgresql://u:p@h/d or postgresql://u:q@i/d",
                "cannot reach postgresql://u:***@h/d or postgresql://u:***@i/d"
            ),
        ])
    func `hides`(text: String, masked: String) {
        #expect(SecretMask.mask(text) == masked)
        #expect(SecretMask.mask(masked) == masked)
    }

    @Test(
        arguments: [
            "", "postgresql://h:5432/d", "postgresql://u@h/d", "http://127.0.0.1:8080",
            "a password is needed",
            "host=/run user=u", "password", "://", "mail u@h", "日本 → ✓", "mr_", "mr_short",
            "mr_abcdefghijklmnopqrs",
        ])
    func `leaves alone`(text: String) {
        #expect(SecretMask.mask(text) == text)
    }
}
