// Style sheets are the bundler's to read: an import of one is for what it does.
declare module '*.css'
