print("worker-agent")
