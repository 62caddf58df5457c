// A Kubernetes Pod, as far as injection reads or writes it. Used by the files of inject/ and by webhook/. webhook/admission-review.ts checks what
// came before it is taken for one of these.

export interface Pod {
  readonly metadata?: {
    readonly name?: string
    readonly generateName?: string
    readonly namespace?: string
    readonly annotations?: Readonly<Record<string, string>>
    readonly labels?: Readonly<Record<string, string>>
  }
  readonly spec: PodSpec
}

export interface PodSpec {
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly volumes?: readonly Volume[]
  readonly hostNetwork?: boolean
  readonly os?: { readonly name?: string }
  readonly nodeSelector?: Readonly<Record<string, string>>
  readonly serviceAccountName?: string
  readonly securityContext?: SecurityContext
}

export interface Container {
  readonly name: string
  readonly image?: string
  readonly restartPolicy?: string
  readonly command?: readonly string[]
  readonly workingDir?: string
  readonly args?: readonly string[]
  readonly env?: readonly EnvVar[]
  readonly ports?: readonly ContainerPort[]
  readonly volumeMounts?: readonly VolumeMount[]
  readonly livenessProbe?: Probe
  readonly readinessProbe?: Probe
  readonly startupProbe?: Probe
  readonly lifecycle?: { readonly preStop?: { readonly exec: { readonly command: readonly string[] } } }
  readonly resources?: Resources
  readonly securityContext?: SecurityContext
}

export interface ContainerPort {
  readonly name?: string
  readonly containerPort: number
  readonly protocol?: string
}

export interface EnvVar {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } }
}

export interface Probe {
  readonly httpGet?: {
    readonly path?: string
    readonly port: number | string
    readonly scheme?: string
    readonly host?: string
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[]
  }
  readonly tcpSocket?: { readonly port: number | string; readonly host?: string }
  readonly grpc?: { readonly port: number }
  readonly exec?: { readonly command?: readonly string[] }
  readonly initialDelaySeconds?: number
  readonly successThreshold?: number
  readonly periodSeconds?: number
  readonly timeoutSeconds?: number
  readonly failureThreshold?: number
}

export interface Resources {
  readonly limits?: Readonly<Record<string, string>>
  readonly requests?: Readonly<Record<string, string>>
}

export interface SecurityContext {
  readonly runAsUser?: number
  readonly runAsGroup?: number
  readonly runAsNonRoot?: boolean
  readonly readOnlyRootFilesystem?: boolean
  readonly allowPrivilegeEscalation?: boolean
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] }
  readonly seccompProfile?: { readonly type: string }
}

/** Its name, and one kind of source that is not looked into. */
export interface Volume {
  readonly name: string
  readonly [source: string]: unknown
}

export interface VolumeMount {
  readonly name: string
  readonly mountPath: string
  readonly readOnly?: boolean
}

/** An init container that goes on beside the others, and whose probes count as theirs. */
export const isNativeSidecar = ({ restartPolicy }: Container): boolean => restartPolicy === 'Always'
