"""A headless browser: pictures of a page, and checks for text that is cut off or overflows, at any
width.
"""

import html
import json
import os
import re
import shutil
import subprocess

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
WRAPPER = '''<!DOCTYPE html><meta charset="utf-8">
<style>body { margin: 0 } iframe { border: 0; display: block }</style>
%s<pre id="found"></pre><script>
const look = frame => {
  const doc = frame.contentDocument, found = [];
  const width = doc.documentElement.clientWidth, whole = doc.documentElement.scrollWidth;
  if (whole > width) found.push('the page is ' + whole + ' wide');
  let texts = 0, rects = doc.querySelectorAll('rect').length;
  for (const element of doc.body.querySelectorAll('*')) {
    if (element.closest('svg') || element.matches('style')) continue;
    const box = element.getBoundingClientRect();
    const name = element.tagName + '.' + element.className + ' ' +
      element.textContent.slice(0, 40);
    if (box.right > width + 1 || box.left < -1) found.push('stands out: ' + name);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth)
      found.push('is cut: ' + name);
    for (const child of element.childNodes) if (child.nodeType == 3 && child.data.trim()) {
      texts += 1;
      const range = doc.createRange();
      range.selectNodeContents(child);
      const word = child.data.trim();
      if (word.length < 14 && !word.includes(' ') && range.getClientRects().length > 1)
        found.push('broken in the middle: ' + name);
      for (const line of range.getClientRects())
        if (line.width && (line.right > box.right + 2 || line.left < box.left - 2 ||
            line.bottom > box.bottom + 8))
          found.push('text out of its box: ' + name);
    }
  }
  return {
    found: found, texts: texts, rects: rects, scripts: doc.scripts.length,
    height: doc.documentElement.scrollHeight, back: getComputedStyle(doc.body).backgroundColor,
    heads: Array.from(doc.querySelectorAll('h2'), h => h.textContent)};
};
onload = () => {
  document.getElementById('found').textContent =
    JSON.stringify(Array.from(document.getElementsByTagName('iframe'), look));
};
</script>'''
FRAME = '<iframe width="%d" height="%d" srcdoc="%s"></iframe>'


def program():
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def _run(folder, *words):
    argv = [program(), '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
            '--no-first-run',
            '--user-data-dir=' + os.path.join(folder, 'profile'), '--virtual-time-budget=5000']
    done = subprocess.run(argv + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE,
                          timeout=120, env=dict(os.environ, HOME=folder))
    return done.stdout.decode('utf-8', 'replace')


def _wrapped(folder, frames, height):
    path = os.path.join(folder, 'wrapper.html')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(WRAPPER % ''.join(FRAME % (width, height, html.escape(page))
                                     for page, width in frames))
    return 'file://' + path


def look(folder, frames, dark=False):
    """Return what the browser finds in pages, as a dict for each: `found` lists the problems.

    folder: for temporary files.  frames: (page, width) of each; one browser looks at all.
    """
    words = ['--blink-settings=preferredColorScheme=0'] if dark else []
    dom = _run(folder, '--window-size=1600,1200', *words, '--dump-dom',
               _wrapped(folder, frames, 1200))
    return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', dom, re.S).group(1)))


def picture(folder, page, width, height, path, dark=False):
    """Take a picture of a page at a width, as PNG."""
    words = ['--blink-settings=preferredColorScheme=0'] if dark else []
    _run(folder, '--window-size=%d,%d' % (max(500, width), height), *words, '--screenshot=' + path,
         _wrapped(folder, [(page, width)], height))


def on_paper(folder, page, path):
    """Print a page to PDF."""
    source = os.path.join(folder, 'page.html')
    with open(source, 'w', encoding='utf-8') as file:
        file.write(page)
    _run(folder, '--no-pdf-header-footer', '--print-to-pdf=' + path, 'file://' + source)
