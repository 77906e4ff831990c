// Material takes blocks of code out of the order of the tab key where no pointer hovers
new MutationObserver(changes => {
  for (const { target } of changes) if (target.matches("pre > code") && target.tabIndex < 0) target.tabIndex = 0;
}).observe(document.body, { subtree: true, attributeFilter: ["tabindex"] });
