// Puts a button that copies beside each secret.
for (const input of document.querySelectorAll("input[readonly]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(input.value);
    button.textContent = "Copied";
  });
  input.closest("label").after(button);
}
