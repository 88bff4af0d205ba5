// CommandServerClient
