"""The numbered notebooks: their order, how they are executed, copies for students."""
