Kind = "mesh"
Name = "mesh"
TransparentProxy {
  MeshDestinationsOnly = true
}
