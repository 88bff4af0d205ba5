print("fake-isotovideo")
