// The version of the program: set by the build (Makefile, --define:VERSION), 0.0.0-source when run from the sources.

declare const VERSION: string | undefined

export const version: string = typeof VERSION === 'string' ? VERSION : '0.0.0-source'
