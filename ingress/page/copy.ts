/** Copies what an element says; where the browser does not allow that, as over plain HTTP, it is selected instead. */
export async function copyText(element: HTMLElement, report: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(element.textContent ?? '');
    report.textContent = 'Copied.';
  } catch {
    getSelection()?.selectAllChildren(element);
    report.textContent = 'Selected: copy it with the keyboard.';
  }
}
