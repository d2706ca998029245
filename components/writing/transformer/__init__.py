"""A pre-trained Hugging Face encoder, fine-tuned to grade; needs the extra `llm`."""
