// The style sheet and the script of the report's page: page.css and page.js as they are, made part of the program when
// it is built. What they are used for is html's business.
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

extern const char page_css[];
extern const unsigned long page_css_size;
extern const char page_js[];
extern const unsigned long page_js_size;

#endif
