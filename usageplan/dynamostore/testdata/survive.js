// dynalite 4.0 ends when a client breaks off a request, which the tests do often. With this it goes on.
process.on('uncaughtException', () => {})
