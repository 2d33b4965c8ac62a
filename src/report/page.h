// The style sheet and the script of the report's page: style.css and charts.js as they are, made part of the program
// when it is built. What they are used for is html's business.
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

extern const char style_css[];
extern const unsigned long style_css_size;
extern const char charts_js[];
extern const unsigned long charts_js_size;

#endif
